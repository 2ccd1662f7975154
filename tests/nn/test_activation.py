"""RaisableReLU: what it computes and what it passes on."""

import torch

from hatlite.nn.activation import RaisableReLU

X = torch.tensor([-2.0, 0.0, 3.0])


def test_computes_what_a_relu_computes():
    relu = RaisableReLU()
    assert relu(X).tolist() == relu.eval()(X).tolist() == [0, 0, 3]


def test_zeros_can_be_raised_but_not_pushed_down():
    for sign, expected in ((-1.0, [-1.0, -1.0, -1.0]), (1.0, [0.0, 0.0, 1.0])):
        x = X.clone().requires_grad_()
        RaisableReLU()(x).backward(torch.full_like(X, sign))
        assert x.grad.tolist() == expected


def test_in_eval_mode_the_gradient_is_that_of_a_relu():
    x = X.clone().requires_grad_()
    RaisableReLU().eval()(x).backward(torch.full_like(X, -1.0))
    assert x.grad.tolist() == [0, 0, -1]

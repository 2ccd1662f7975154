"""What config, data and model must agree on is told before any work."""

import numpy as np
import pytest
import torch
from torch import nn

from hatlite.data import build_data_loader
from hatlite.engine import Run
from hatlite.engine.agreement import check_classes, check_first_image, check_model, check_size
from hatlite.engine.parts import example_image
from hatlite.errors import ConfigError, DataError


class Data:
    """Two images of 8×12 with the classes that it is given."""

    def __init__(self, classes=("cat", "dog"), broken=False):
        self.classes, self.broken = list(classes), broken

    def __len__(self):
        return 2

    def get(self, index, rng):
        if self.broken:
            raise DataError("image a.jpg is a truncated JPEG.")
        return {"img": torch.zeros(3, 8, 12), "img_name": f"{index}.jpg", "gt_bboxes": np.zeros((0, 4))}


class Sized(nn.Module):
    num_classes = 2

    def check_size(self, height, width):
        if (height, width) != (8, 8):
            raise DataError(f"Sized: img is {height}×{width}; resize it to 8×8.")


def run(**entries):
    return Run({"task_name": "agree", "num_classes": 2, **entries})


def loader(*args, **options):
    return build_data_loader(dataset=Data(*args, **options))


def test_the_classes_of_the_data_become_those_of_the_run():
    one = run()
    check_classes(one, loader())
    assert one.classes == ("cat", "dog")
    check_classes(one, loader([]))
    assert one.classes == ("cat", "dog")
    assert run(classes=["dog", "cat"]).classes == ("dog", "cat")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (["dog", "cat"], "class 0 is 'dog' in config['classes'] and 'cat' in Data. A label is a place in this list,"),
        (["cat", "dgo"], "only config['classes'] has 'dgo' and only Data has 'dog'. A label is a place in this list,"),
        (["cat"], "only Data has 'dog'. A label is a place in this list, and nothing is mapped by name: give both the"),
        (("cat", "dog", "owl"), "only config['classes'] has 'owl'."),
    ],
)
def test_the_names_of_the_config_are_those_of_the_data(declared, said):
    with pytest.raises(ConfigError) as caught:
        check_classes(run(classes=declared), loader())
    assert str(caught.value).startswith(f"config['classes'] and the data disagree: {said}")
    assert ("\n  Did you mean 'dog'?" in str(caught.value)) is ("dgo" in declared)


def test_the_number_of_classes_is_that_of_the_data():
    said = r"num_classes.\] is 3, but Data has 2 classes: cat, dog. Give .* as its classes, or set num_classes=2\."
    with pytest.raises(ConfigError, match=said):
        check_classes(run(num_classes=3), loader())


def test_two_data_sets_have_the_same_classes():
    one = run()
    check_classes(one, loader())
    with pytest.raises(ConfigError, match="of one run have different classes: class 0 is 'cat' in one and 'dog' in an"):
        check_classes(one, loader(["dog", "cat"]))


def test_the_model_has_the_number_of_the_config():
    check_model(run(), Sized())
    check_model(run(), nn.Identity())
    with pytest.raises(
        ConfigError, match=r"num_classes'\] is 3, but config\['model'\] is built for 2 classes; set num"
    ):
        check_model(run(num_classes=3), Sized())


def test_the_size_that_a_model_takes():
    check_size(Sized(), torch.zeros(1, 3, 8, 8), "deploy_inputs")
    check_size(nn.Identity(), torch.Size((1, 3, 9, 9)), "deploy_inputs")
    with pytest.raises(ConfigError, match="^deploy_inputs: Sized: img is 9×8; resize it to 8×8"):
        check_size(Sized(), torch.Size((1, 3, 9, 8)), "deploy_inputs")


def test_the_first_image_speaks_for_its_loader():
    check_first_image(nn.Identity(), loader(), "config['data_loader']")
    said = r"^config\['data_loader'\], image 0.jpg behind its transforms: Sized: img is 8×12; resize it to 8×8"
    with pytest.raises(ConfigError, match=said):
        check_first_image(Sized(), loader(), "config['data_loader']")
    with pytest.raises(DataError, match="image a.jpg is a truncated JPEG"):
        check_first_image(Sized(), loader(broken=True), "config['data_loader']")


def test_a_model_of_one_size_needs_no_picture_to_know_it():
    sized = Sized()
    with pytest.raises(ConfigError, match="neither deploy_inputs nor val_data_loader, so the size of the image"):
        example_image(run(), sized)
    sized.input_size = (8, 8)
    assert example_image(run(), sized).shape == (1, 3, 8, 8)
    given = torch.ones(1, 3, 8, 8)
    assert torch.equal(example_image(run(deploy_inputs={"img": given}), sized), given)
    with pytest.raises(ConfigError, match=r"config\['deploy_inputs'\]: Sized: img is 8×9; resize it to 8×8"):
        example_image(run(deploy_inputs={"img": torch.ones(1, 3, 8, 9)}), sized)

/* A team of threads takes all steps one after the other; a barrier ends each. */

#include <omp.h>
#include <unistd.h>

#include "step.h"

typedef void work(const step *, int, int);
static work *const WORK[] = {convolution, depthwise, addition, max_pool, repeat, bilinear, table, copy};

/* Fill the border of the rows that this thread has a share of. */
static void fill_border(const step *s, int thread, int threads) {
    const tensor *y = &s->y;
    int64_t border = y->border, side = border * y->pixel, rows = y->height + 2 * border, lines = s->batch * rows;
    if (!border) return;
    for (int64_t at = share(lines, thread, threads); at < share(lines, thread + 1, threads); at++) {
        int64_t row = at % rows - border;
        uint8_t *left = y->data + at / rows * y->image + row * y->row - side;
        if (row < 0 || row >= y->height) memset(left, y->zero, y->row);
        else memset(left, y->zero, side), memset(left + side + (int64_t)y->width * y->pixel, y->zero, side);
    }
}

/* Return whether this processor has what the file was compiled for. */
int usable(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

int64_t step_bytes(void) { return sizeof(step); }

/* OpenMP keeps its threads. A forked process has none of them and would wait for ever; it takes the steps alone. */
static int may_start(int threads) {
    static pid_t owner;
    if (threads > 1 && !owner) owner = getpid();
    return threads > 1 && owner != getpid() ? 1 : threads;
}

void run(const step *steps, int64_t count, int threads) {
    threads = may_start(threads);
#pragma omp parallel num_threads(threads)
    {
        int thread = omp_get_thread_num(), team = omp_get_num_threads();
        for (int64_t i = 0; i < count; i++) {
            fill_border(&steps[i], thread, team);
            WORK[steps[i].kind](&steps[i], thread, team);
#pragma omp barrier
        }
    }
}

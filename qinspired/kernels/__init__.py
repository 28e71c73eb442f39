"""Compiled kernels: no input or output, no validation, no classes."""

from __future__ import annotations

from qinspired.kernels._alias import draw_from_alias_table
from qinspired.kernels._alias_build import build_alias_table, weight_range
from qinspired.kernels._bucket_draws import BucketLaw, bucket_law, draw_from_buckets
from qinspired.kernels._buckets import (
    Buckets,
    bucket_mass,
    empty_buckets,
    get_weights,
    last_of_each,
    new_undo,
    set_weights,
    take_back,
    with_places,
    with_room,
)
from qinspired.kernels._columns import csr_sample_cols, dense_sample_cols
from qinspired.kernels._csr_rows import csr_find, csr_gather_rows, csr_row_norms, csr_scan
from qinspired.kernels._dynamic_rows import RowPool, dynamic_change, dynamic_draw, dynamic_find
from qinspired.kernels._dynamic_segments import dynamic_gather, dynamic_move, dynamic_place, dynamic_write
from qinspired.kernels._gradients import csr_first_gradient, csr_gradient, dense_first_gradient, dense_gradient
from qinspired.kernels._kaczmarz import (
    csr_kaczmarz,
    csr_kaczmarz_chains,
    dense_kaczmarz,
    dense_kaczmarz_chains,
)
from qinspired.kernels._leverage import sample_projected
from qinspired.kernels._perceptron import csr_perceptron, dense_perceptron
from qinspired.kernels._rows import (
    add_squares_of_columns,
    dense_gather_rows,
    dense_probe_rows,
    dense_row_norms,
    norms_of_totals,
)
from qinspired.kernels._sampled_steps import sampled_row_steps
from qinspired.kernels._sketch import csr_sketch_rows, dense_sketch_rows
from qinspired.kernels._threads import kernel_threads

__all__ = [
    "BucketLaw",
    "Buckets",
    "RowPool",
    "add_squares_of_columns",
    "bucket_law",
    "bucket_mass",
    "build_alias_table",
    "csr_find",
    "csr_first_gradient",
    "csr_gather_rows",
    "csr_gradient",
    "csr_kaczmarz",
    "csr_kaczmarz_chains",
    "csr_perceptron",
    "csr_row_norms",
    "csr_sample_cols",
    "csr_scan",
    "csr_sketch_rows",
    "dense_first_gradient",
    "dense_gather_rows",
    "dense_gradient",
    "dense_kaczmarz",
    "dense_kaczmarz_chains",
    "dense_perceptron",
    "dense_probe_rows",
    "dense_row_norms",
    "dense_sample_cols",
    "dense_sketch_rows",
    "draw_from_alias_table",
    "draw_from_buckets",
    "dynamic_change",
    "dynamic_draw",
    "dynamic_find",
    "dynamic_gather",
    "dynamic_move",
    "dynamic_place",
    "dynamic_write",
    "empty_buckets",
    "get_weights",
    "kernel_threads",
    "last_of_each",
    "new_undo",
    "norms_of_totals",
    "sample_projected",
    "sampled_row_steps",
    "set_weights",
    "take_back",
    "weight_range",
    "with_places",
    "with_room",
]

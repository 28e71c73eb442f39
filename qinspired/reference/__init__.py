"""Published algorithms, as published: to study and to measure; `low_rank` and `least_squares` are for use."""

from __future__ import annotations

from qinspired.reference._chepurko_clarkson_horesh_lin_woodruff import cchlw_low_rank_factors
from qinspired.reference._combined_rows import CombinedRowsSolution
from qinspired.reference._deshpande_rademacher_vempala_wang import AdaptiveSample, drvw
from qinspired.reference._drineas_kannan_mahoney import (
    dkm_constant_time_svd,
    dkm_linear_time_cur,
    dkm_linear_time_svd,
)
from qinspired.reference._factors import RowColumnFactors
from qinspired.reference._frieze_kannan_vempala import FKVResult, fkv
from qinspired.reference._gilyen_lloyd_tang import GLTSolution, glt_regression
from qinspired.reference._gilyen_song_tang import gst_regression
from qinspired.reference._row_steps import RowActionSolution
from qinspired.reference._shao_montanaro import shao_montanaro_kaczmarz
from qinspired.reference._tang import TangRecommendation, modfkv, tang_recommend

__all__ = [
    "AdaptiveSample",
    "CombinedRowsSolution",
    "FKVResult",
    "GLTSolution",
    "RowActionSolution",
    "RowColumnFactors",
    "TangRecommendation",
    "cchlw_low_rank_factors",
    "dkm_constant_time_svd",
    "dkm_linear_time_cur",
    "dkm_linear_time_svd",
    "drvw",
    "fkv",
    "glt_regression",
    "gst_regression",
    "modfkv",
    "shao_montanaro_kaczmarz",
    "tang_recommend",
]

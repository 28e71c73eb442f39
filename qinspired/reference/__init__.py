"""Published algorithms, as published: to study and to measure; `low_rank` and `least_squares` are for use."""

from __future__ import annotations

from qinspired.reference._frieze_kannan_vempala import FKVResult, fkv
from qinspired.reference._tang import TangRecommendation, tang_recommend

__all__ = ["FKVResult", "TangRecommendation", "fkv", "tang_recommend"]

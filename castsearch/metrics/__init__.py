"""What a ranking is worth: average precision, Rank@k, recall; differences and how sure they are; calibration; curves.

Pure functions of labels and rankings as dicts and lists. No file is read here, and no room but the errors and the rules
of ids is known.
"""

from castsearch.metrics.calibration import UNLIKELY, Reliability, cllr, error_by_group, reliability, that_matter
from castsearch.metrics.curves import PrecisionRecall, RankHistogram, precision_recall, rank_histograms
from castsearch.metrics.differences import FEW_MOVIES, Difference, beyond, paired_bootstrap
from castsearch.metrics.errors import EvaluationError
from castsearch.metrics.fitting import check_labels
from castsearch.metrics.oddities import Oddities, oddities
from castsearch.metrics.ranked import (
    RANKS,
    RECALLS,
    CastScore,
    Evaluation,
    Figures,
    Missing,
    average_precision,
    evaluate,
    evaluate_alike,
    figures_by_movie,
)
from castsearch.metrics.reports import CSV_START, JSON_START, Scored, as_csv, as_json, cast_table, movie_table, summary
from castsearch.metrics.whereabouts import Whereabouts, by_ids, by_split

__all__ = [
    "CSV_START",
    "FEW_MOVIES",
    "JSON_START",
    "RANKS",
    "RECALLS",
    "UNLIKELY",
    "CastScore",
    "Difference",
    "Evaluation",
    "EvaluationError",
    "Figures",
    "Missing",
    "Oddities",
    "PrecisionRecall",
    "RankHistogram",
    "Reliability",
    "Scored",
    "Whereabouts",
    "as_csv",
    "as_json",
    "average_precision",
    "beyond",
    "by_ids",
    "by_split",
    "cast_table",
    "check_labels",
    "cllr",
    "error_by_group",
    "evaluate",
    "evaluate_alike",
    "figures_by_movie",
    "movie_table",
    "oddities",
    "paired_bootstrap",
    "precision_recall",
    "rank_histograms",
    "reliability",
    "summary",
    "that_matter",
]

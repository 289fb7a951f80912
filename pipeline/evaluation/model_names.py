"""What the models that a backtest compares are called."""

from __future__ import annotations

MODELS = {
    "leadrev": "leadrev",
    "without_asked": "leadrev without the column asked about",
    "champion": "the champion so far",
    "existing_score": "the score there is",
    "rep_probability": "the salesperson's probability",
    "recent_activity": "most recent activity first",
    "biggest_company": "biggest company first",
    "aalen_johansen": "age of the lead alone",
    "logistic_regression": "logistic regression",
    "oracle": "the truth of a simulated company",
}

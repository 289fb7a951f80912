"""Bands of companies by the people who work there; micro, small and medium as the European Union draws them."""

SIZE_LIMITS = (10, 50, 250, 1000)
SIZES = ("1–9 people", "10–49 people", "50–249 people", "250–999 people", "1,000 people or more")
"""What the bands below, between and above these limits are called."""

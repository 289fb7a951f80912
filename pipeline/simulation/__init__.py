"""A company made up on the spot, with a truth to hold forecasts against."""

"""leadrev."""

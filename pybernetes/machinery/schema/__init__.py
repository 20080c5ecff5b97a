"""The schema engine: types compiled from the published API definitions."""

"""Tables, figures and pages of what was mined."""

"""What makes it a course: labs, figures, checks of exercises, the clinic, and what instructors need."""

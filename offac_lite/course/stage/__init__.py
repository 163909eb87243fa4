"""What shows a lab on the page: its controls, its picture, and the guards between its threads and the cells."""

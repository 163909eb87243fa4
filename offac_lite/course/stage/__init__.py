"""How a lab comes to the page: its controls, its picture, and what threads may not disturb."""

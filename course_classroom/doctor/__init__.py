"""What would keep the lessons from running here, and what mends it."""

"""What surrounds the lessons: checks, planted faults, doctor, prepare, the command."""

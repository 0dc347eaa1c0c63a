"""What is measured apart from the study: each file one measurement, its figures in results/."""

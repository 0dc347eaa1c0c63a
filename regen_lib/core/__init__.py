"""What everything stands on: errors, storage, seeding, devices, processes, images, perturbations, inference, metrics."""

"""What the commands run: one module a job, its pipeline wired from transforms, with its progress."""

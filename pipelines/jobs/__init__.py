"""What the commands run: one module a job, with its progress; its pipeline is in `byline.pipelines.wiring`."""

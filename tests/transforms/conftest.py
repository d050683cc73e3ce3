"""What Beam works out for each pipeline is kept, also for those that tests make themselves."""

from byline.pipelines.runners.quick_pipelines import quicken

quicken()

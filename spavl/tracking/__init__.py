"""MLflow: one parent run per pipeline run, one nested run per stage.

Files first, MLflow second: stages write events, curves and results to files and know nothing of
MLflow. A follower, a process of its own, brings what is new to MLflow, keeps how far it came beside
the run, and tries again when MLflow is away. Nothing here is imported by a stage, so that a change
to tracking makes no stage run again; `launch` starts the follower by its module's name.
"""

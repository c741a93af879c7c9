"""What several stages of SPA-VL share; nothing in here knows Kubeflow Pipelines."""

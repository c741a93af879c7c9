"""What `helm test` asks: MLflow answers by its service name, S3 keeps an object."""

import io
import os
import urllib.request
from urllib.parse import urlsplit

from minio import Minio

if url := os.environ.get("MLFLOW_TRACKING_URI"):
    with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
        assert answer.status == 200
    print("MLflow answers")

endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
client = Minio(
    endpoint=endpoint.netloc,
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    region=os.environ["AWS_DEFAULT_REGION"],
    secure=endpoint.scheme == "https",
)
bucket, name, content = os.environ["BUCKET"], "probe/helm-test", b"kept"
client.put_object(bucket, name, io.BytesIO(content), len(content))
kept = client.get_object(bucket, name).read()
client.remove_object(bucket, name)
assert kept == content
print("S3 keeps an object")

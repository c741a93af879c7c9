"""Make the bucket named by the environment if it is not there."""

import os
from urllib.parse import urlsplit

from minio import Minio
from minio.error import S3Error

endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
client = Minio(
    endpoint=endpoint.netloc,
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    region=os.environ["AWS_DEFAULT_REGION"],
    secure=endpoint.scheme == "https",
)
bucket = os.environ["BUCKET"]
try:
    if client.bucket_exists(bucket):
        print(f"bucket {bucket} is there")
    else:
        client.make_bucket(bucket)
        print(f"bucket {bucket} made")
except S3Error as error:
    # Two jobs at once: the other one made it.
    if error.code != "BucketAlreadyOwnedByYou":
        raise

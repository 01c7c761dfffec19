"""Prometheus metrics of the service, beside those of BentoML: steps, photo sizes, rejections, the queue of batches."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
STEP = Histogram("refocal_step_seconds", "Time of each step of a request", ["endpoint", "step"], buckets=SECONDS)
PIXELS = Histogram("refocal_photo_pixels", "Pixels of the photos", buckets=[10.0**k for k in range(3, 9)])
REFUSED = Counter("refocal_refused", "Requests refused, by reason", ["reason"])
PHOTOS = Counter("refocal_batch_photos", "Photos of batches, by outcome", ["outcome"])
QUEUE = Gauge("refocal_batch_jobs", "Jobs that wait or run", multiprocess_mode="mostrecent")

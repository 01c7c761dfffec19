"""The service: HTTP requests for one photo or many, and a page (bentoml, fastapi)."""

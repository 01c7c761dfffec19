"""How others reach it: HTTP, online and in batches, and a page (bentoml, fastapi). Knows `photo` alone."""

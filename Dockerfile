# syntax=docker/dockerfile:1

# The Python that the virtual environment is built with is the Python that it runs with, so both stages share one base.
FROM python:3.12-slim AS base

FROM base AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.8
WORKDIR /srv/florin
# The dependencies change less often than the code and have a layer of their own.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project
COPY README.md LICENSE ./
COPY api ./api
COPY app ./app
COPY domain ./domain
COPY gateways ./gateways
COPY persistence ./persistence
COPY sandbox ./sandbox
COPY worker ./worker
# Installed like any other package: the sources stay behind in this stage. The extra `dev`, an embedded PostgreSQL, too.
RUN uv sync --frozen --no-dev --no-editable

FROM base
# A number, because Kubernetes' runAsNonRoot cannot judge a name.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin florin
COPY --from=build /srv/florin/.venv /srv/florin/.venv
ENV PATH=/srv/florin/.venv/bin:$PATH PYTHONUNBUFFERED=1 PORT=8000
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["florin"]
# Inside the container every address; which of them are reachable is decided outside.
CMD ["serve", "--host", "0.0.0.0"]

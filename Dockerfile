# One image for every role: `sagebird serve`, `sagebird worker`, and `serve` as SageMaker calls it over /opt/ml/model.
# docker compose builds it; by hand: docker build --tag sagebird .
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
# For a mirror of the package index: --build-arg PIP_INDEX_URL=… (they reach this stage only, not the image).
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /app
# A compiler for service/native, and headers where the Python is Debian's own, which keeps them apart. Where Debian's
# packages cannot be reached the image is built without, and is slower.
RUN headers=$(python -c 'import sysconfig; print(sysconfig.get_paths()["include"])') \
 && { timeout 120 apt-get update -qq && timeout 300 apt-get install -qq --no-install-recommends gcc libc6-dev \
      $([ -e "$headers/Python.h" ] || echo python3-dev); } >/dev/null 2>&1 \
 || echo "no C compiler could be installed: CSV is read and trees are walked by numpy"
RUN python -m venv /opt/build && python -m venv --without-pip /opt/sagebird
# Libraries before the source: a change of code does not install them again.
COPY constraints.txt pyproject.toml ./
RUN python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
print(*project["dependencies"], *project["optional-dependencies"]["postgres"], sep="\n")' \
      >/tmp/requirements.txt \
 && /opt/build/bin/pip install --quiet --constraint constraints.txt setuptools \
 && /opt/build/bin/pip --python /opt/sagebird install --constraint constraints.txt --requirement /tmp/requirements.txt
# What your models need beside scikit-learn: --build-arg PACKAGES="lightgbm xgboost==2.1.4"
ARG PACKAGES
RUN [ -z "$PACKAGES" ] || /opt/build/bin/pip --python /opt/sagebird install --constraint constraints.txt $PACKAGES
COPY LICENSE README.md ./
COPY service service
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /tmp/wheels . \
 && /opt/build/bin/pip --python /opt/sagebird install --no-deps /tmp/wheels/*.whl
COPY models models
# … or listed beside endpoints.yaml, where `make` and `sagebird serve` find it as well.
RUN [ ! -f models/requirements.txt ] \
 || /opt/build/bin/pip --python /opt/sagebird install --constraint constraints.txt --requirement models/requirements.txt
RUN /opt/sagebird/bin/python models/train_all.py

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="sagebird" \
      org.opencontainers.image.licenses="Apache-2.0" \
      com.amazonaws.sagemaker.capabilities.multi-models="true" \
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true"
ENV PATH=/opt/sagebird/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
# 1000 is the first user of most Linux machines: what the server writes into a mounted folder is then that user's own.
# SageMaker starts the image as `docker run IMAGE serve` and keeps strangers off its network itself: hence every address
# and no keys there. Which path tells that a server is well depends on the role: /ping where there is no /readyz.
RUN groupadd --gid 1000 sagebird \
 && useradd --uid 1000 --gid 1000 --create-home --shell /usr/sbin/nologin sagebird \
 && install --directory --owner 1000 --group 1000 /app/data \
 && printf '%s\n' '#!/bin/sh' 'exec sagebird container --host 0.0.0.0 --auth off "$@"' >/usr/local/bin/serve \
 && printf '%s\n' '#!/opt/sagebird/bin/python' \
      'import http.client, os, sys' \
      'def status(path):' \
      '    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or os.environ.get("SAGEBIRD_PORT") or 8080)' \
      '    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)' \
      '    connection.request("GET", path)' \
      '    return connection.getresponse().status' \
      'ready = status("/readyz")' \
      'sys.exit((status("/ping") if ready == 404 else ready) != 200)' >/usr/local/bin/is-ready \
 && chmod 755 /usr/local/bin/serve /usr/local/bin/is-ready
COPY --from=build /opt/sagebird /opt/sagebird
COPY --from=build /app/models models
USER 1000:1000
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["is-ready"]
CMD ["sagebird", "serve"]

# opacity-node on the CPU.
#
#   docker build -t opacity-node .
#   docker run --init --stop-timeout 30 -p 11112:11112 -v opacity-node:/var/lib/opacity-node opacity-node
#
# Listens on every interface of the container: -p decides who reaches it. /etc/opacity-node/config.toml can be
# mounted over; OPACITY_NODE_* variables override single values. On x86-64 the locked torch wheel brings its CUDA
# libraries along, some gigabytes that a machine without a GPU does not use.

FROM python:3.11-slim AS build
WORKDIR /source
COPY requirements.lock pyproject.toml ./
# The lock also pins the developers' tools. As a constraint it gives the project's own dependencies their versions and
# hashes and adds nothing else, so there is no second lock that could drift; uv refuses what has no hash in it.
RUN awk '/^uv==/ {p = 1; print; next} /^[^ ]/ {p = 0} p' requirements.lock > uv.lock \
 && pip install --no-cache-dir --require-hashes -r uv.lock \
 && python -m venv --without-pip /opt/opacity-node \
 && uv pip install --no-cache --python /opt/opacity-node/bin/python --require-hashes -r pyproject.toml -c requirements.lock
COPY README.md LICENSE ./
COPY db db
COPY dicom_out dicom_out
COPY handlers handlers
COPY inference inference
COPY node node
COPY phantom phantom
RUN uv build --no-cache --wheel --out-dir dist --build-constraints requirements.lock --require-hashes \
 && uv pip install --no-cache --python /opt/opacity-node/bin/python --no-deps dist/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/opacity-node --create-home --shell /usr/sbin/nologin opacity
COPY --from=build /opt/opacity-node /opt/opacity-node
COPY config.toml /etc/opacity-node/config.toml
ENV PATH=/opt/opacity-node/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OPACITY_NODE_DICOM__HOST=0.0.0.0 \
    OPACITY_NODE_STORAGE__PATH=/var/lib/opacity-node/storage \
    OPACITY_NODE_STORAGE__WEIGHTS=/var/lib/opacity-node/weights
# The default config.toml is read from the working directory.
WORKDIR /etc/opacity-node
USER opacity
# Everything that was acknowledged lies here, on one local disk (SQLite refuses network mounts).
VOLUME /var/lib/opacity-node
EXPOSE 11112
# 1 is a warning, such as a destination that is down: a restart does not help there.
HEALTHCHECK --interval=30s --timeout=20s --start-period=20s \
  CMD opacity-node status --check; test $? -lt 2
CMD ["opacity-node", "serve"]

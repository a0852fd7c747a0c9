# opacity-node in a container: docs/deployment.md tells what was built and run of this, and what was not.
#
#   docker build -t opacity-node .                          runs on an NVIDIA GPU and on the CPU; 7 GB, all of it hashed
#   docker build -t opacity-node --build-arg TORCH=cpu .    on the CPU only, some 5 GB smaller
#   docker run --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --stop-timeout 40 \
#     -p 11112:11112 -v opacity-node:/var/lib/opacity-node opacity-node
#
# Listens on every interface of the container: -p decides who reaches it. /etc/opacity-node/config.toml can be
# mounted over; OPACITY_NODE_* variables override single values.

FROM python:3.11-slim AS build
# "cuda" is the torch of requirements.lock, which brings its CUDA libraries along. "cpu" is the same version built
# without them: it lies on PyTorch's own index, which uv knows, and is the only thing here without a hash in the lock.
ARG TORCH=cuda
# For a hospital's own mirror; not given, pip and uv use their defaults.
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ENV UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_HTTP_TIMEOUT=180 UV_PYTHON=/opt/opacity-node/bin/python
WORKDIR /source
COPY requirements.lock pyproject.toml ./
RUN awk '/^uv==/ {p = 1; print; next} /^[^ ]/ {p = 0} p' requirements.lock > uv.lock \
 && pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore --require-hashes -r uv.lock \
 && python -m venv --without-pip /opt/opacity-node
# requirements.lock also pins the developers' tools: out of it comes what the project itself needs, with its hashes.
RUN uv pip compile --quiet --no-header --no-annotate -c requirements.lock pyproject.toml > needed.txt \
 && case "$TORCH" in \
      cuda) cp needed.txt hashed.txt ;; \
      cpu) grep -vE '^(torch|torchvision|triton|cuda-.*|nvidia-.*)==' needed.txt > hashed.txt \
        && grep -E '^(torch|torchvision)==' needed.txt | xargs uv pip install --no-deps --torch-backend cpu ;; \
      *) echo "TORCH=$TORCH: give cuda or cpu" >&2; exit 2 ;; \
    esac \
 && awk 'NR == FNR {hashed[$1]; next} /^[^ ]/ {p = $1 in hashed} p' hashed.txt requirements.lock > runtime.lock \
 && uv pip install --no-deps --require-hashes -r runtime.lock
COPY README.md LICENSE config.toml ./
COPY db db
COPY dicom_out dicom_out
COPY evaluation evaluation
COPY handlers handlers
COPY inference inference
COPY node node
COPY phantom phantom
COPY training training
RUN uv build --wheel --out-dir dist --build-constraints requirements.lock --require-hashes \
 && uv pip install --no-deps dist/*.whl \
 && uv pip check

FROM python:3.11-slim
LABEL org.opencontainers.image.title="opacity-node" \
      org.opencontainers.image.description="A DICOM node that puts lung AI behind any PACS. Research use only." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 opacity \
 && useradd --uid 10001 --gid opacity --home-dir /var/lib/opacity-node --shell /usr/sbin/nologin opacity \
 && install -d -o opacity -g opacity -m 700 /var/lib/opacity-node
COPY --from=build /opt/opacity-node /opt/opacity-node
COPY config.toml /etc/opacity-node/config.toml
ENV PATH=/opt/opacity-node/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OPACITY_NODE_DICOM__HOST=0.0.0.0 \
    OPACITY_NODE_STORAGE__PATH=/var/lib/opacity-node/storage \
    OPACITY_NODE_STORAGE__WEIGHTS=/var/lib/opacity-node/weights
# The default config.toml is read from the working directory.
WORKDIR /etc/opacity-node
# By number, so that an orchestrator sees that it is not root.
USER 10001:10001
# Everything that was acknowledged lies here, on one local disk (SQLite refuses network mounts).
VOLUME /var/lib/opacity-node
EXPOSE 11112
# A clean end takes up to 5 s for associations and engine.stop_grace_s (20 s) for a running job; what docker does not
# wait for is queued again at the next start.
STOPSIGNAL SIGTERM
# 1 is a warning, such as a destination that is down: a restart does not help there.
HEALTHCHECK --interval=30s --timeout=20s --start-period=20s \
  CMD opacity-node status --check; test $? -lt 2
CMD ["opacity-node", "serve"]

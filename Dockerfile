# scanweave in a container: `git archive HEAD | docker build --tag scanweave -`. Research use only, not a medical device.
#
# BASE: any Debian or Ubuntu with Python 3.11 or later (debian:bookworm-slim, nvidia/cuda:<version>-base-ubuntu24.04).
# TORCH_INDEX: where torch comes from: PyTorch's index of CPU builds, of a CUDA version's (.../whl/cu130), or empty for
# whatever pip's own index has (on PyPI, a CUDA build).
ARG BASE=debian:bookworm-slim

# The wheel, and all that it needs by constraints.txt, in an environment without pip.
FROM ${BASE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/scanweave
WORKDIR /source
# torch alone and first: it is most of the image and changes seldom; its index has none of the other pins.
COPY constraints.txt ./
RUN /opt/pip/bin/pip --python /opt/scanweave/bin/python install --no-cache-dir --no-deps --constraint constraints.txt \
        ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} torch
COPY . ./
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && /opt/pip/bin/pip --python /opt/scanweave/bin/python install --no-cache-dir --constraint constraints.txt \
        "$(echo /wheels/scanweave-*.whl)[viewer,openvino,dask,node]"

FROM ${BASE}
LABEL org.opencontainers.image.title="scanweave" \
      org.opencontainers.image.description="A brain MR study in, a segmentation in its own geometry out. Research use only, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-NC-SA-4.0"
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 scanweave \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin scanweave \
    && mkdir /config /data /out \
    && chown scanweave:scanweave /out
COPY --from=build /opt/scanweave /opt/scanweave
# Nothing is fetched when it runs; temporary files go to /tmp alone, so that the rest can be read-only. The key that names
# results comes with SCANWEAVE_SITE_KEY or as /config/scanweave/site.key: one made in a container would go with it.
ENV PATH=/opt/scanweave/bin:$PATH \
    HOME=/tmp \
    LOGNAME=scanweave \
    XDG_CONFIG_HOME=/config \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /out
# A command that ends has no health to ask for.
HEALTHCHECK NONE
ENTRYPOINT ["scanweave"]
CMD ["--help"]

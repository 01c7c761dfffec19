# The service in a container: `docker build -t refocal .`, `docker run --rm -p 3000:3000 refocal`.
#   --build-arg RUNTIME=cpu    onnxruntime instead of onnxruntime-gpu: smaller, for machines without a GPU
#   --build-arg RUNTIME=cuda   onnxruntime-gpu with CUDA and cuDNN beside it (`docker run --gpus all`)
#   --build-arg EXTRAS=ray,s3  further extras, as for `refocal batch` on a Ray cluster
# By default it has onnxruntime-gpu, which runs on the CPU where it finds no CUDA.
FROM python:3.11-slim-bookworm AS build
ARG RUNTIME=gpu EXTRAS=
# The system's certificates: behind a proxy the machine may have its own.
ENV PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true
WORKDIR /build
COPY requirements.lock pyproject.toml ./
RUN pip install --quiet "$(grep '^uv==' requirements.lock)" && uv venv --quiet /opt/refocal
# Dependencies first, of the locked versions: a change of the code does not fetch them anew.
RUN case "$RUNTIME" in \
      gpu) touch other.txt more.txt ;; \
      cuda) touch other.txt && sed -nE 's/^onnxruntime-gpu(==[^ ;]+).*/onnxruntime-gpu[cuda,cudnn]\1/p' requirements.lock > more.txt ;; \
      cpu) echo "onnxruntime-gpu; sys_platform == 'none'" > other.txt \
        && sed -nE 's/^onnxruntime(-gpu)?(==[^ ;]+).*/onnxruntime\2/p' requirements.lock | head -n 1 > more.txt ;; \
      *) echo "RUNTIME must be cpu, gpu or cuda, got $RUNTIME" >&2; exit 1 ;; \
    esac \
    && sed -E '/^onnxruntime/{s/ *;.*//;s/^onnxruntime==.*//}' requirements.lock > versions.txt \
    && uv pip install --quiet --python /opt/refocal --constraint versions.txt --override other.txt \
      --requirement pyproject.toml --requirement more.txt --extra serve --extra heif \
      $(printf %s "$EXTRAS" | sed -E 's/([^,]+),?/ --extra \1/g')
# The weights: as they lie in models/pretrained/, else from the remote in the repository.
COPY models/pretrained models/pretrained
COPY .dvc/config .dvc/config
COPY remote remote
RUN test -s models/pretrained/refocal.render.onnx -a -s models/pretrained/refocal.deblur.onnx \
    || { uv venv --quiet /opt/dvc \
      && uv pip install --quiet --python /opt/dvc --constraint requirements.lock dvc \
      && /opt/dvc/bin/dvc config --local core.no_scm true \
      && /opt/dvc/bin/dvc pull --quiet models/pretrained/*.onnx.dvc; }
COPY src src
COPY hatch_build.py README.md LICENSE ./
RUN uv pip install --quiet --python /opt/refocal --constraint requirements.lock --no-deps . \
    && test -s /opt/refocal/lib/python3*/site-packages/refocal/weights/refocal.onnx
# Left out: the builder of environments, a second copy of onnxruntime for C programs, codecs that neither PNG nor TIFF need.
RUN cd /opt/refocal && rm -f bin/uv bin/uvx && cd lib/python3*/site-packages \
    && find . -type d -name tests -prune -exec rm -r {} + \
    && rm -f onnxruntime/capi/libonnxruntime.so* \
      imagecodecs/_avif* imagecodecs/_sz3* imagecodecs/_pcodec* imagecodecs/_sperr* imagecodecs/_ultrahdr* \
      imagecodecs.libs/libaom-* imagecodecs.libs/libavif-* imagecodecs.libs/libSZ3* imagecodecs.libs/libcpcodec-* \
      imagecodecs.libs/libSPERR-* imagecodecs.libs/libuhdr-*
# Run once: a model that does not run fails the build, and what is imported gets compiled, as a read-only root cannot do it.
RUN export REFOCAL_DIR=/tmp/refocal BENTOML_HOME=/tmp/bentoml \
    && /opt/refocal/bin/python -c "from refocal.serving.service import Refocal; Refocal.inner()" \
    && /opt/refocal/bin/bentoml serve --help > /dev/null \
    && /opt/refocal/bin/python -m compileall -q /opt/refocal/lib/python3*/site-packages/refocal \
      /opt/refocal/lib/python3*/site-packages/_bentoml_impl /opt/refocal/lib/python3*/site-packages/_bentoml_sdk

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="refocal" \
      org.opencontainers.image.description="Take one photo, choose where its focus lies afterwards." \
      org.opencontainers.image.licenses="Apache-2.0; the weights have a licence of their own"
# All that is ever written goes to /var/lib/refocal (jobs, analyses) and /tmp: the rest may be read-only.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin refocal \
    && install -d -o 10001 -g 10001 -m 700 /var/lib/refocal
COPY --from=build /opt/refocal /opt/refocal
# KubeRay starts Ray in a login shell, which has a path of its own.
RUN for name in refocal ray; do if [ -x /opt/refocal/bin/$name ]; then ln -s /opt/refocal/bin/$name /usr/local/bin/$name; fi; done
ENV PATH=/opt/refocal/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    REFOCAL_DIR=/var/lib/refocal BENTOML_HOME=/tmp/bentoml BENTOML_DO_NOT_TRACK=True
WORKDIR /var/lib/refocal
USER 10001
VOLUME /var/lib/refocal
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=4)"]
CMD ["bentoml", "serve", "refocal.serving.service:Refocal", "--host", "0.0.0.0", "--port", "3000"]

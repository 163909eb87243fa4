# An image for a JupyterHub, or for one reader:
#   docker build -t offac_lite --build-arg JUPYTERHUB=6.1.1 .      # the version of your hub
#   docker run --rm -p 127.0.0.1:8888:8888 offac_lite
FROM python:3.13-slim-bookworm
ARG JUPYTERHUB=6.1.1

RUN useradd --create-home --uid 1000 reader
WORKDIR /opt/offac_lite
COPY requirements.txt pyproject.toml setup.py README.md LICENSE ./
COPY offac_lite offac_lite
COPY notebooks notebooks
COPY figures/*.json figures/
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --torch-backend=cpu -r requirements.txt "jupyterhub==$JUPYTERHUB"

USER reader
WORKDIR /home/reader
EXPOSE 8888
# A hub starts its own command, jupyterhub-singleuser.
CMD ["python", "-m", "offac_lite", "start", "--", "--ip=0.0.0.0", "--no-browser"]

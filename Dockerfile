FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 DURABLE_EMBEDDED=0 DURABLE_VAR=/srv/durable/var
WORKDIR /srv/durable
COPY . .
RUN pip install --editable . \
    && SECRET_KEY=only-to-collect DATABASE_URL=postgres:///unused python manage.py collectstatic --no-input \
    && useradd --system durable && chown -R durable var
USER durable

EXPOSE 8000
CMD ["gunicorn", "durable_host.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--threads", "16", "--logger-class", "durable_host.gunicorn_logs.RedactingLogger", "--limit-request-line", "8190", "--keep-alive", "75", "--no-control-socket"]

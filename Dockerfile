# Coreward in a container: built in one stage, run without root in the other.
#
#   docker build --tag coreward .
#   docker run --publish 3000:3000 --publish 4000:4000 --volume coreward-data:/data coreward
#
# io_uring. Docker's default seccomp profile (since 25) refuses it, and the server then takes epoll and says so at start.
# To allow it, give a profile that permits io_uring_setup, io_uring_enter and io_uring_register, and room for the rings
# (about 28 KiB of locked memory a shard; without CAP_IPC_LOCK the kernel counts them against this limit, per user id):
#
#   docker run --security-opt seccomp=profile-with-io-uring.json --ulimit memlock=67108864 ... coreward
#
# Clients are told the URLs below dnsLess.publicUrl: behind a proxy, add --env dnsLess__publicUrl=https://pryv.example.com.
#
# Secrets are made at the first start and kept in /data; the admin key is printed once. A configuration file goes in by
# --volume ./config.yml:/config.yml:ro and the arguments --config /config.yml.

FROM rust:1-slim-bookworm AS builder
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY shards shards
COPY storage storage
COPY bench bench
COPY ci ci
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --package coreward \
 && install -D --strip target/release/coreward /out/coreward

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates tini \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 coreward \
 && useradd --uid 10001 --gid coreward --home-dir /data --no-create-home --shell /usr/sbin/nologin coreward \
 && install --directory --owner coreward --group coreward --mode 0700 /data
COPY --from=builder /out/coreward /usr/local/bin/coreward

USER coreward
WORKDIR /data
VOLUME /data
# Inside a container the loopback address reaches nobody. 3000 serves everything, 4000 the series paths alone.
ENV COREWARD_DATA=/data http__ip=0.0.0.0
EXPOSE 3000 4000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["coreward", "health"]
# The server drains for at most 10 s after SIGTERM.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "coreward"]

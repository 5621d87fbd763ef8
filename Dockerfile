# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin scim-bridge \
    && cp target/release/scim-bridge /scim-bridge \
    && mkdir /data

# C library, root certificates and nothing else: no shell, no package manager. Runs as user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /scim-bridge /usr/bin/scim-bridge
# The only folder that is written to, and only with the embedded SQLite database.
COPY --from=build --chown=65532:65532 /data /data
VOLUME /data
ENV SCIM_BRIDGE_LISTEN=0.0.0.0:8080 \
    SCIM_BRIDGE_DATABASE_URL=sqlite:///data/scim-bridge.db
EXPOSE 8080
# There is no tool in the image that could probe the program from inside: let the platform ask /healthz (alive) and
# /readyz (able to serve).
ENTRYPOINT ["/usr/bin/scim-bridge"]
CMD ["serve"]

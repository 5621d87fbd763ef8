# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --features acme --bin scim-bridge \
    && deploy/image-root.sh target/release/scim-bridge /image

# The program, the C library it is linked to, root certificates and an empty /data: no shell, no package manager.
FROM scratch
COPY --from=build /image /
# The only folder that is written to, and only with the embedded SQLite database.
VOLUME /data
ENV SCIM_BRIDGE_LISTEN=0.0.0.0:8080 \
    SCIM_BRIDGE_DATABASE_URL=sqlite:///data/scim-bridge.db
EXPOSE 8080
USER 65532:65532
# There is no tool in the image that could probe the program from inside: let the platform ask /healthz (alive) and
# /readyz (able to serve).
ENTRYPOINT ["/usr/bin/scim-bridge"]
CMD ["serve"]

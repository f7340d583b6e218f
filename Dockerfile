# The same files as those of `cargo xtask image`, for those who build with Docker.
FROM rust:1.95.0-slim AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry cargo xtask image --files /image

FROM scratch
COPY --from=build /image/ /
ENV PATH=/ SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/leeward"]
CMD ["operator"]

# Two final targets, both FROM scratch, and a third for kernels without nftables and for people who need a shell:
#   docker build --target operator         -t pillion/pillion:dev .
#   docker build --target sidecar          -t pillion/pillion-sidecar:dev .
#   docker build --target sidecar-iptables -t pillion/pillion-sidecar:dev-iptables .
# `make image` builds all three without a container engine; the third one from the packages installed here.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH
RUN for program in .:pillion ./sidecar:pillion-sidecar ./sidecar/capture:pillion-capture; do \
      go build -trimpath -tags grpcnotrace -ldflags "-s -w -X github.com/pillion-mesh/pillion/internal/version.Version=$VERSION" \
        -o "/out/${program#*:}" "${program%:*}" || exit 1; \
    done
RUN printf 'root:x:0:0::/:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\nistio-proxy:x:1337:1337::/:/sbin/nologin\n' >/out/passwd \
 && printf 'root:x:0:\nnonroot:x:65532:\nistio-proxy:x:1337:\n' >/out/group

FROM scratch AS operator
COPY --from=build /out/passwd /out/group /etc/
COPY --from=build /out/pillion /usr/local/bin/pillion
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/pillion"]
CMD ["operator"]

FROM debian:stable-slim AS sidecar-iptables
RUN apt-get update && apt-get install -y --no-install-recommends iptables iproute2 && rm -rf /var/lib/apt/lists/* \
 && printf 'istio-proxy:x:1337:1337::/:/sbin/nologin\n' >>/etc/passwd && printf 'istio-proxy:x:1337:\n' >>/etc/group
COPY --from=build /out/pillion-sidecar /out/pillion-capture /usr/local/bin/
USER 1337:1337
ENTRYPOINT ["/usr/local/bin/pillion-sidecar"]
CMD ["agent"]

FROM scratch AS sidecar
COPY --from=build /out/passwd /out/group /etc/
COPY --from=build /out/pillion-sidecar /out/pillion-capture /usr/local/bin/
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 1337:1337
ENTRYPOINT ["/usr/local/bin/pillion-sidecar"]
CMD ["agent"]

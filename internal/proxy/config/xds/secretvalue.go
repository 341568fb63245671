package xds

import "github.com/pillion-mesh/pillion/internal/proxy/config"

// SecretValue is a decoded Secret: exactly one field is set.
type SecretValue struct {
	Certificate *config.Certificate
	Trust       *config.Trust
}

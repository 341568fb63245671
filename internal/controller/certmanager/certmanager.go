// Package certmanager has cert-manager issue the operator's serving certificate.
package certmanager

import (
	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// AddToScheme makes cert-manager's types known to a client.
func AddToScheme(scheme *runtime.Scheme) error { return cmv1.AddToScheme(scheme) }

package operator

import (
	"context"
	"net/http"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/injector"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
	"github.com/pillion-mesh/pillion/internal/controller/validate"
)

// route leads to one of three handlers. http.ServeMux would answer unusual paths of admission by itself.
func route(admission, injectors, probes http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case validate.Path:
			injectors.ServeHTTP(w, r)
		case probe.Path:
			probes.ServeHTTP(w, r)
		default:
			admission.ServeHTTP(w, r)
		}
	})
}

// checks answers for Injectors that are about to be written.
func checks(compiler *injector.Compiler, log logr.Logger) http.Handler {
	check := func(ctx context.Context, inj *v1alpha1.Injector) (v validate.Verdict, err error) {
		v.Invalid, v.Fault, v.Warnings, err = compiler.Check(ctx, inj)
		return v, err
	}
	return validate.New(validate.Options{Check: check, Log: log.WithName("validate")})
}

package operator

import (
	"context"
	"net/http"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/injector"
	"github.com/pillion-mesh/pillion/internal/controller/validate"
)

// route leads to one of two handlers. http.ServeMux would answer unusual paths of admission by itself.
func route(admission, injectors http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == validate.Path {
			injectors.ServeHTTP(w, r)
			return
		}
		admission.ServeHTTP(w, r)
	})
}

func checker(compiler *injector.Compiler) func(context.Context, *v1alpha1.Injector) (validate.Verdict, error) {
	return func(ctx context.Context, inj *v1alpha1.Injector) (v validate.Verdict, err error) {
		v.Invalid, v.Fault, v.Warnings, err = compiler.Check(ctx, inj)
		return v, err
	}
}

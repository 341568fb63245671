package cli

import (
	"context"
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// Failure is an error as users need it: what failed, why, and what to try.
type Failure struct {
	What string
	Why  error
	Try  []string
}

// Error has the first two in one line, and a line for each thing to try.
func (f *Failure) Error() string {
	text := f.What + ": " + f.Why.Error()
	for i, try := range f.Try {
		if i == 0 {
			text += "\n  try: " + try
		} else {
			text += "\n       " + try
		}
	}
	return text
}

func (f *Failure) Unwrap() error { return f.Why }

// failed says what to try after an error of the API server that users meet.
func failed(what string, err error) error {
	var try []string
	switch {
	case apierrors.IsNotFound(err):
		try = []string{"the namespace with -n, or -f FILE for something not in the cluster"}
	case apierrors.IsForbidden(err):
		try = []string{"kubectl auth can-i --list, and ask for what is missing", "-f FILE, to need fewer permissions"}
	case apierrors.IsUnauthorized(err):
		try = []string{"log in again, or another --context"}
	case errors.Is(err, context.DeadlineExceeded) || utilnet.IsTimeout(err):
		try = []string{"kubectl version, to see whether the API server answers", "--request-timeout 60s"}
	case utilnet.IsConnectionRefused(err) || strings.Contains(err.Error(), "no such host"):
		try = []string{"kubectl version, to see whether the API server answers", "--context NAME, for another cluster"}
	}
	return &Failure{What: what, Why: err, Try: try}
}

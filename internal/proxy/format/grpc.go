package format

import (
	"fmt"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// grpcNames are gRPC's status codes, as words and as constants.
var grpcNames = [...][2]string{
	{"OK", "OK"}, {"Canceled", "CANCELLED"}, {"Unknown", "UNKNOWN"}, {"InvalidArgument", "INVALID_ARGUMENT"},
	{"DeadlineExceeded", "DEADLINE_EXCEEDED"}, {"NotFound", "NOT_FOUND"}, {"AlreadyExists", "ALREADY_EXISTS"},
	{"PermissionDenied", "PERMISSION_DENIED"}, {"ResourceExhausted", "RESOURCE_EXHAUSTED"},
	{"FailedPrecondition", "FAILED_PRECONDITION"}, {"Aborted", "ABORTED"}, {"OutOfRange", "OUT_OF_RANGE"},
	{"Unimplemented", "UNIMPLEMENTED"}, {"Internal", "INTERNAL"}, {"Unavailable", "UNAVAILABLE"},
	{"DataLoss", "DATA_LOSS"}, {"Unauthenticated", "UNAUTHENTICATED"},
}

// grpcStatus is GRPC_STATUS, in words unless asked otherwise; a code without a name is its number.
func grpcStatus(arg string) (op, error) {
	form := 0
	switch arg {
	case "", "CAMEL_STRING":
	case "SNAKE_STRING":
		form = 1
	case "NUMBER":
		return number(numbers["GRPC_STATUS_NUMBER"]), nil
	default:
		return op{}, fmt.Errorf("%q is not CAMEL_STRING, SNAKE_STRING or NUMBER", arg)
	}
	return op{safe: true, do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		switch {
		case x.GRPCStatus < 0:
			return line, false
		case x.GRPCStatus < len(grpcNames):
			return append(line, grpcNames[x.GRPCStatus][form]...), true
		default:
			return strconv.AppendInt(line, int64(x.GRPCStatus), 10), true
		}
	}}, nil
}

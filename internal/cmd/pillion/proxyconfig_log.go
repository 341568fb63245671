package pillion

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pillion-mesh/pillion/internal/cli/proxyconfig"
)

// defaultLevel is what istioctl resets loggers to.
const defaultLevel = "warning"

func (p *proxyConfig) log() *cobra.Command {
	var level string
	var reset bool
	cmd := p.sub("log", "o", "Log levels of the proxy; --level changes them", []string{"text"}, func(ctx context.Context, pod string) error {
		path := "/logging"
		switch {
		case pod == "":
			return usageError("log wants a pod: levels aren't in a dump")
		case reset && level != "":
			return usageError("--reset and --level exclude each other")
		case reset:
			level = defaultLevel
		}
		if level != "" {
			query, err := proxyconfig.LevelQuery(level)
			if err != nil {
				return usageError("%w", err)
			}
			path += "?" + query
		}
		answer, err := p.source.post(ctx, pod, path)
		if err != nil {
			return err
		}
		_, err = p.out().Write(answer)
		return err
	})
	cmd.Flags().StringVar(&level, "level", "", "new levels, for all loggers or as LOGGER:LEVEL,…; trace, debug, info, warning, error, critical or off")
	cmd.Flags().BoolVarP(&reset, "reset", "r", false, "set all loggers back to "+defaultLevel)
	return cmd
}

package listen

import (
	"fmt"
	"log/slog"
)

// Logger hands gnet's few messages to slog.
type Logger struct{ To *slog.Logger }

func (l Logger) Debugf(format string, args ...any) { l.To.Debug(fmt.Sprintf(format, args...)) }
func (l Logger) Infof(format string, args ...any)  { l.To.Debug(fmt.Sprintf(format, args...)) }
func (l Logger) Warnf(format string, args ...any)  { l.To.Warn(fmt.Sprintf(format, args...)) }
func (l Logger) Errorf(format string, args ...any) { l.To.Error(fmt.Sprintf(format, args...)) }
func (l Logger) Fatalf(format string, args ...any) { l.To.Error(fmt.Sprintf(format, args...)) }

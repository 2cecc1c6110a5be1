// It lets aside.go declare functions of the runtime without a body.

Paas.component 'router' do
  def access_log_file = vcap_sys_log + 'router_access.log'

  def start
    return if running_already?

    render 'router.yml.erb'
    run "rm -f #{pid_file}"
    # As root, for port 80.
    inside(package) { run "bin/router -c=#{config_file} #{outputs} &", as: 'sudo' }
  end

  def stop
    end_process as: 'sudo'
  end
end

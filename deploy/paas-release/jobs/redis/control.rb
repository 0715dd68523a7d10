Paas.component 'redis' do
  def port = 5454

  def start
    @config_file = vcap_sys_config + 'redis.cnf'
    render 'redis.conf.erb'
    inside(package) { run "./redis-server #{config_file}" }
  end

  def stop
    inside(package) { run "./redis-cli -p #{port} shutdown" }
  end

  def restart
    stop
    sleep 2
    start
  end
end
